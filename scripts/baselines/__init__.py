"""Classical reconstruction, which networks are compared with: Hillas parameters, axes that meet, random forests."""
