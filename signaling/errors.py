"""What can be wrong with a blob: code, sentence, hint. The codes are shared with p2pchat's."""

__all__ = ["SignalingError"]


class SignalingError(Exception):
    """`code` is one of blob-foreign, blob-damaged, blob-newer, blob-kind, code-malformed,
    invite-expired."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
