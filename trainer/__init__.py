"""Make a policy-value network, by self-play or from recorded games."""
