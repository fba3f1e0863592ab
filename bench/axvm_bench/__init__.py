"""What the commands in bench/ share: running monitors beside each other, medians, tables, files of results."""
