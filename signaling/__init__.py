"""How two WebRTC endpoints that share a secret find each other and swap an offer for an answer."""
