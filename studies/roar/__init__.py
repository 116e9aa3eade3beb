"""Remove and retrain on CIFAR-10 with the papers' ResNet-8."""
