"""What every process of ours stands on: supervised threads and tasks, backoff, forks, shutdown, tracing, identity."""
