/**
 * Optimizers over tensors of an engine: {@link kudari.Engine} owns memory, {@link kudari.Tensor} is memory, {@link
 * kudari.Optimizer} remembers, {@link kudari.Schedule} says which rule a step follows, {@link kudari.LearningRate} at which learning rate.
 */
@org.jspecify.annotations.NullMarked
package kudari;
