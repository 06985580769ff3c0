"""Whether somebody takes leave, told by words.

People tell of goodbyes as often as they say them ("he said see you next season"), so what may be both counts where it
is a clause of its own, one of the last two, and what is said of oneself alone, "i must dash", in one of the last three.
Of 160 leave-takings by a writer who knew nothing of it 0.57 are told, and 0.01 of 160 messages by the same that only
look like some; with words that counted anywhere it was 0.40 and 0.18. Of 122,108 messages in the middle of public
dialogs 306 are told, most of which do take leave.
"""

import re

from ranking.dialog_acts import LONGEST, YOU

CLAUSE_ENDS = re.compile(
    r"""[.!?;:…()\n*]+ | \s[-\u2013\u2014]+\s | [\U0001F300-\U0001FAFF\u2600-\u27BF\uFE0F\u200d]+
      | ,(?!\s*(?:bot|kith|friend|mate|love|dear|all|then)\b) | \b(?:lol|haha+|anyways?|but|(?<!over\s)and)\b""",
    re.IGNORECASE | re.VERBOSE,
)
"""What clauses end with; an address, "good night, friend", ends none."""

BEFORE = r"""(?:ok(?:ay)?|k|right|well|so|alrighty?|aight|welp|oh|thanks?|cheers|thank\syou|yes|no|yeah|you\stoo|then
  |now|ah|hm+)"""

AFTER = r"""(?:now|then|tho|bot|kith|friend|mate|love|dear|hun|all|everyone|folks|people|for\s(?:now|today)|again
  |(?:old|little|my)\s\w+|toaster|robot|machine|computer|mr|sir|x+|:\)|:\(|:/|<3)"""

WHOLE = re.compile(
    rf"""(?:{BEFORE}\s+)*
    (?: (?:(?:good)?\s?-?bye+\s?)+ (?:nice\smeeting\s\w+)? | farewell | cya | ttyl | l8r.* | laters?(?:\s\w+)? | adieu
      | ciao(?:\sciao)? | cheerio | adios | hasta\s\w+ | servus | ta-?\s?ra | ta\sta | toodle\S*(?:\s\w+)? | so\slong
      | godspeed | over\sand\sout | peace(?:\sout)? | gn | (?:g'?|good\s*|night\s)?ni(?:ght|te)(?:\sfrom\s\w+)? | ttfn
      | nighty?\s?-?(?:night)? | sweet\sdreams | sleep\s(?:well|tight)
      | (?:hope\s{YOU}\s)?have\sa\s(?:good|nice|great|lovely|pleasant|peaceful)\s
        (?:one|night|evening|weekend|rest|day) | be\sgood
      | a\s(?:good|nice|lovely|pleasant|peaceful)\s(?:night|evening|weekend)\sto\syou
      | (?:{YOU}\s)?take\s(?:good\s)?care(?:\sof\syourself)? | mind\show\syou\sgo | keep\swell | xo+x?o?
      | (?:i'?ll\s)?(?:see|catch|talk\sto|speak\sto|tell|smell)\s{YOU}
        (?:\s(?:later|soon|around|tomorrow|tmrw|tonight|next\s\w+|in\sthe\smorning|again|after|on\sthe\s\w+\sside
          |when\si\ssee\s\w+|(?:about\sit|the\srest|all\sabout\sit)\stomorrow))?
      | (?:let'?s\s|we\s)?(?:talk|speak|chat)\s(?:soon|later|after|again|tmrw|tomorrow|another\s\w+|when\s.{{1,40}})
      | (?:un)?till?\s(?:next|tomorrow|soon|we|the\snext)(?:\s\w+){{0,3}} | another\stime | next\stime | brb | afk
      | same\stime\s\w+(?:\s\w+)? | gtg | g2g | (?:sign|logg)ing\so(?:ff|ut)(?:\sfrom\s.*)? | outta\shere
      | (?:\w+\s)?(?:kind|warm|best|many|with)\s(?:regards|wishes) | regards | all\sthe\sbest | sincerely(?:\syours)?
      | yours(?:\s(?:truly|sincerely|faithfully|ever|always|in\s.*))? | greetings\sfrom\s\w+
      | (?:i\s)?wish\syou\s(?:a|all|the|good)\s.*
      | (?:it\s|it'?s\s)?(?:been\s(?:a\s)?|this\shas\sbeen\s|was\s)(?:lovely|pleasure|nice|good|great|fun)
        \s(?:talking|chatting|as\salways)(?:\s(?:to\s|with\s|2\s){YOU})?
      | (?:good|nice|lovely|great|pleasant)\s(?:talking|chatting)(?:\s(?:to|with)\s\w+)?
      | (?:that'?s\s|this\sis\s)?my\s(?:stop|floor|ride|bus|train|cue|lift|uber|station|break)
        (?:'?s|\sis)?(?:\s(?:here|outside|over|up|pulling\sin|now))*
      | (?:that(?:'?s|\swas|\sis)\s)?(?:my\s|the\s)?(?:break|lunch|interval|recess|half\s?time)(?:'?s|\sis)?\sover
      | (?:that'?s|that\sis|that'?ll|enough|no\smore)(?:\s\w+){{0,3}}\s(?:for|from)\s
        (?:today|tonight|now|one\s(?:day|night))(?:\s\w+){{0,3}}
      | bed\sfor\sme | bed\s?time(?:\sfor\s.*)? | (?:lights?|lamp)\s(?:out|off) | nap\so'?clock
      | (?:i'?m\s|i\s(?:am|go)\s|imma\s|i(?:'?ll|\swill|\sshall)\s(?:be\s)?)
        (?:off|out|heading\s(?:off|out)|head\sout|bounce|retire)(?:\snow)?
      | (?:i\s)?(?:go|going|off|heading)\s(?:now|to\s(?:bed|sleep|work|school|class)) | (?:i\s)?go\ssleep
      | back\sto\s(?:work|it|school|class|bed|the\s(?:grind|books|office|desk|spreadsheets|kitchen))
      | time\s(?:for\sbed|for\smy\s\w+|to\s(?:sleep|go)) | let'?s\sleave\sit\sthere
    ) (?:,?\s{AFTER})*""",
    re.IGNORECASE | re.VERBOSE,
)

BUSY = r"(?!.*\b(?:tomorrow|next|later|soon|\w+day|week(?:s|end)?|months?|year|all|around|back\sto)\b)"
"""Not what is planned for another time."""

OF_ONESELF = re.compile(
    rf"""\b(?: (?:^|(?<=\bi\s)|(?<=\bi've\s)|(?<=\bi'd\s))(?:really\s|now\s)?
        (?:gotta|got\sto|have\sto|must(?:\sto)?|need\sto|better) \s (?:go|run|dash|fly|bounce|scoot|jet
        |be\s(?:off|going)|get\s(?:on|going|off)|head\s(?:off|out)|hang\sup) (?=\s*$|\s(?:now|then|before|x|bot|kith)\b)
        {BUSY}
      | ^(?:i\s)?(?:gotta|must)\s(?:go|run|dash|fly)\b{BUSY}
      | ^(?:gtg|g2g)\b | on\sthat\snote | ^(?:i\s)?(?:can'?t|cannot)\stalk\snow
      | over\sto\s\w+\snow
      | (?:thanks?|thank\syou|cheers|ta|thx|ty|merci)\s(?:so\smuch\s|a\slot\s|again\s)?for\s(?:listening|today|tonight
        |the\s(?:chat|company|talk|ear)|talking|chatting|keeping\sme\s\w+|be(?:ing)?\s(?:t?here)|this\sevening
        |your\s(?:help|patience|time|company|ear)|having\sme|hearing\sme)
      | i(?:'?ll|\swill|'?m\sgonna|'?m\sgoing\sto|\sshall)\s(?:leave\s(?:{YOU}|it\sthere)|let\s{YOU}\s(?:go|get\sback)
        |stop\sbothering|be\soff|say\sgood\s?night|go\s(?:and\s)?(?:to\s(?:bed|sleep)|hug|sleep)|sleep\son)
      | (?:i'?ve|i\shave|have)\s(?:kept|bent)\s(?:you|your)\b | going\sto\s(?:try\sto\s)?sleep(?:\snow)?\s*$
      | (?:i'?m|i\sam)\s(?:off|signing|logging|outta)\s(?:now|to\s(?:bed|sleep)|here|o(?:ff|ut))
      | (?:won'?t|isn'?t\sgonna|aren'?t\sgonna)\s\w+\s(?:itself|themselves) )
    | (?<!say\s)(?<!said\s)(?<!says\s)(?<!saying\s)\bbye+(?:\s\w+)?\s*$""",
    re.IGNORECASE | re.VERBOSE,
)

LATE_GREETING = re.compile(r"good\s(?:evening|afternoon|day)(?:\sto\syou)?", re.IGNORECASE)
"""At the end of a message; at its beginning it says hello."""

IN_RUSSIAN = re.compile(
    r"\b(?:пока(?=[\s.!,)]*$)|до\s(?:свидания|встречи|завтра|скорого)|(?:спокойной|доброй)\sночи|увидимся)",
    re.IGNORECASE,
)


def takes_leave(text: str) -> bool:
    """Whether somebody goes, by a message whose apostrophes are straight."""
    text = text[-LONGEST:].rstrip()
    if text.endswith("?"):
        return False
    clauses = [part for part in (each.strip(" '\"~^_,") for each in CLAUSE_ENDS.split(text)) if part]
    told = any(map(OF_ONESELF.search, clauses[-3:])) or any(map(WHOLE.fullmatch, clauses[-2:]))
    ends = len(clauses) > 1 and LATE_GREETING.fullmatch(clauses[-1])
    return bool(told or ends or IN_RUSSIAN.search(text))
