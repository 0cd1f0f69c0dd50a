/**
 * Data to train on, and which of it makes the next gradient. {@link kudari.data.Dataset} holds labelled images; {@link kudari.data.Digits}
 * draws some, {@link kudari.data.Idx} reads MNIST and its relatives; {@link kudari.data.Sampler} chooses the samples of each step.
 */
package kudari.data;
