"""audiocli: recordings in, transcripts out, in batches, with the audio model in this process."""

__version__ = "0.1.0"
