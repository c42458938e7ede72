"""What operators are told, in a terminal and on a page alike: filters, rows, facts and sentences. Pure."""
