"""How a fit is shown: tables, diagnoses, files."""
