"""What every question needs: servers, workers, producers, clocks, statistics and results."""
