/**
 * Kudari in training loops of DJL, with its PyTorch engine: {@link kudari.djl.DjlOptimizer} goes where DJL's own optimizers go. It needs {@code
 * ai.djl.pytorch:pytorch-engine} on the class path, which whoever trains with DJL has; 0.36.0 is the one tested.
 */
package kudari.djl;
