"""The Gearman protocol: pure, both sides, binary and text. Floor 0. See `packets`, `codec`, `names` and `admin`."""
