/**
 * For training loops of PyTorch from Java, JavaCPP's {@code org.bytedeco:pytorch}, which a program brings itself: {@link kudari.torch.TorchOptimizer}
 * steps a module's parameters where they are.
 */
package kudari.torch;
