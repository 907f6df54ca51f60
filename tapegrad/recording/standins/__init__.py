"""Stand-ins for functions that cannot take part by themselves; each table is of one library."""
