"""Models, preprocessing, tokenizers, images and data sets by name."""

from critpath.zoo.data import DataSet, load_data
from critpath.zoo.default import DEFAULT_MODEL
from critpath.zoo.hugging_face_tokens import HuggingFaceTokenizer
from critpath.zoo.images import demo_images, find_images, read_image
from critpath.zoo.models import available, load
from critpath.zoo.packages import import_timm, import_torchvision, import_transformers
from critpath.zoo.preprocess import Preprocess
from critpath.zoo.sentences import Pooling, Similarity, similarity
from critpath.zoo.tokens import OwnTokenizer, Tokenizer, Tokens, TruncationWarning, Word
from critpath.zoo.values import LoadedModel, ModelInfo, imagenet_classes

__all__ = [
    "DEFAULT_MODEL",
    "DataSet",
    "HuggingFaceTokenizer",
    "LoadedModel",
    "ModelInfo",
    "OwnTokenizer",
    "Pooling",
    "Preprocess",
    "Similarity",
    "Tokenizer",
    "Tokens",
    "TruncationWarning",
    "Word",
    "available",
    "demo_images",
    "find_images",
    "imagenet_classes",
    "import_timm",
    "import_torchvision",
    "import_transformers",
    "load",
    "load_data",
    "read_image",
    "similarity",
]
