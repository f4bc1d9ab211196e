"""Migrations: the plan, the runner, and the few steps that SQL alone cannot do."""
