package kudari.spark;

/** How the ranks of a {@link TrainingJob} send each other tensors. Sums are in the order of the ranks, and so of the same bits, with each. */
public enum Backend {
    /** Spark's block transfer: no library, no port of its own. What is a GPU's goes by way of the host's memory. */
    BLOCKS,

    /**
     * NVIDIA's NCCL, from GPU to GPU, in the order of the engine's work; where it cannot be used, the job fails and says why. Needs JNA ({@code
     * net.java.dev.jna:jna}) on the class path, NCCL 2.14 or later on every machine, and a GPU of its own for each rank. NCCL opens ports, and neither
     * authenticates nor encrypts: {@code NCCL_SOCKET_IFNAME} names the network that it is to use.
     */
    NCCL,

    /** NCCL, or {@link #BLOCKS} on all ranks where one of them cannot use it, which rank 0 logs with the reason. */
    NCCL_OR_BLOCKS
}
