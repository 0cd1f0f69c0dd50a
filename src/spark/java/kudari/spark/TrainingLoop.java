package kudari.spark;

import java.io.Serializable;
import java.util.Iterator;

/**
 * What every rank of a {@link TrainingJob} runs. Spark sends it to the executors, with what it refers to.
 *
 * @param <T> of the samples
 * @param <R> of the result; serializable
 */
@FunctionalInterface
public interface TrainingLoop<T, R> extends Serializable {

    /**
     * Trains, from the newest checkpoint if there is one.
     *
     * @param rank who this is, with an engine and a collective that are closed afterwards
     * @param samples of this rank's partition, in its order
     * @return what the driver gets of this rank
     */
    R run(Rank rank, Iterator<T> samples) throws Exception;
}
