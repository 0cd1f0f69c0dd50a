package kudari.nn;

/**
 * How well a network does on a set of examples.
 *
 * @param loss the mean cross-entropy, in nats per example
 * @param accuracy the fraction of examples whose label has the largest output, 0 to 1
 */
public record Score(double loss, double accuracy) {}
