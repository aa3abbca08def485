"""Reading a receipt photo: pixels in, the paid total and the slip's own facts out; no models."""
