"""The `gearpool` command. Floor 5. `main` dispatches; one module a command beside it."""
