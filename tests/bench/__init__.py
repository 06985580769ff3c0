"""`make bench`: what a turn costs, against what people would otherwise run; docs/performance.md says how."""
