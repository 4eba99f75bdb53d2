"""What every room stands on: errors, files, parallel work, parameters, devices, determinism, the command line."""
