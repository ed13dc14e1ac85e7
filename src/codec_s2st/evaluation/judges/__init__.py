"""Who judges speech by its sound: networks, and commands of the user's."""
