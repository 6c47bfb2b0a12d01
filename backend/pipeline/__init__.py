"""What happens, in what order? Each file is one step of the way of an event."""
