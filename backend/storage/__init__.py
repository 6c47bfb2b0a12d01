"""Where is it kept? SQL tables, the Redis log, the queue; the only place that speaks to either."""
