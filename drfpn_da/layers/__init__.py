"""Small modules; they import drfpn_da.functional only."""
