"""What a training costs before it is begun: floating-point operations, memory and time."""
