"""Losses: tensors in, one scalar out. Each is a plain function named after the paper's term.

adversarial.py works on logits, perceptual.py on features, pixel.py on pictures,
penalties.py on the gradient of a critic.
"""
