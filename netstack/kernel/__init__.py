"""What every service stands on: machines, drivers, listeners and what comes with them."""
