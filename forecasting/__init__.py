"""Load profiles to forecasts: what the endpoints share, where processing and models meet.

`power` is the way of one forecast and `bulk` that of many sites; `replay` forecasts from origins in the past, `rolling`
puts intervals around those and around the newest, `hindsight` makes backtests and anomalies of them.
"""
