"""Pictures of sound: STFT, complex-Morlet "DWT", tonnetz, and their pairs (protocol, section 2)."""
