"""GB/T 26875.3-2011 user information transmission devices and the detectors behind them."""
