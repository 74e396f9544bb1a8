"""What every installation is made of, on a server and in local mode: its users, folders, database, units, nginx."""
