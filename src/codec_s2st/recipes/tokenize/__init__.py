"""The recipe ``tokenize``: manifest -> token shards."""
