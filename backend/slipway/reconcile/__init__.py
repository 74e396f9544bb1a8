"""What should be by the database, compared with what the machine shows: repaired, or told to a person."""
