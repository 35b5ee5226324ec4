"""What is done around a clusterer: fitting it, naming the nodes it finds, saying and drawing how good they are."""
