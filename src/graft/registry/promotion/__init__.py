"""From challenger to champion: the gate, promotion, rollback, and the line of champions."""
