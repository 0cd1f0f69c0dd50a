/**
 * Optimizers over tensors of an engine: {@link kudari.Engine} owns memory, {@link kudari.Tensor} is memory, {@link
 * kudari.Optimizer} remembers, {@link kudari.Schedule} says which rule a step follows, {@link kudari.LearningRate} at which learning rate.
 *
 * <p>No parameter and no result of this library is null unless its documentation says so.
 */
package kudari;
