"""How fast is it here? The network alone, the search, whole games; raw samples kept."""
