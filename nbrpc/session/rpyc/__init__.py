"""A session whose peer speaks RPyC's protocol."""
