package kudari;

/** The steps of one optimizer on one engine: the layout of their work, how many were done, and the next one. The facade has checked. */
abstract class Steps {

    /** What an optimizer is asked for: the scalars of step t, into k. Throws where the schedule is at fault. */
    interface Scalars {
        void at(long t, float[] k);
    }

    /** Lays out the work over these tensors: once for every set of tensors, not once a step. If it throws, nothing is laid out. */
    abstract void bind(Tensor[] params, Tensor[] grads, Tensor[][] state);

    /** Does the next step. Nothing is allocated. If it throws, the step has not been done. */
    abstract void next();

    /** The number of steps done. */
    abstract long done();

    /** Counts from here on, with none skipped and no norm taken. */
    abstract void resume(long done);

    /** The number of steps left out because the norm was not finite. */
    abstract long skipped();

    /** The global norm of the last step's gradients; 0 before the first. */
    abstract double norm();

    /** Frees what the steps take in the engine's memory; the tensors stay. */
    abstract void free();
}
