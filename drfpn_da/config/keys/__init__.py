"""Every configuration key that drfpn_da adds to detectron2: one statement and its comment each."""
