"""From numbers to evidence: standardised scores, rules that explain the high ones, and exact intervals."""
