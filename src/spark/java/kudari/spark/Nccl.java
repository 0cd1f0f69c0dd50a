package kudari.spark;

import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.Structure;
import com.sun.jna.Structure.FieldOrder;
import com.sun.jna.ptr.IntByReference;
import com.sun.jna.ptr.PointerByReference;

/**
 * NVIDIA's NCCL: its library, loaded where it is, and what its answers mean.
 *
 * <p>Source: NVIDIA, "NCCL API", docs.nvidia.com/deeplearning/nccl.
 */
final class Nccl {

    /** Results of its calls. */
    static final int SUCCESS = 0, INVALID_USAGE = 5, IN_PROGRESS = 7;

    /** The type of what is sent as it is. */
    static final int BYTES = 0;

    private static final String NAME = "libnccl.so.2";

    /** The first with communicators that do not block. */
    private static final int OLDEST = 21400;

    private static final String MEND =
            "install NVIDIA's NCCL 2.14 or later (their package libnccl2) on all machines, name its file with -Dkudari.nccl=FILE, or take Backend.BLOCKS";

    final Calls calls;
    final int version;

    private Nccl(Calls calls, int version) {
        this.calls = calls;
        this.version = version;
    }

    /** Why there is no NCCL for a job, in one sentence. */
    static final class Unavailable extends IllegalStateException {

        private static final long serialVersionUID = 1;

        Unavailable(String message) {
            super(message);
        }
    }

    /** A communicator's name, made by one rank for all. */
    @FieldOrder("bytes")
    public static class Id extends Structure {

        public byte[] bytes = new byte[128];

        /** As C passes it to a call. */
        public static final class ByValue extends Id implements Structure.ByValue {}
    }

    /** What a communicator is to be like, as of version 2.14; later versions fill in what they have behind it. */
    @FieldOrder({"size", "magic", "version", "blocking", "cgaClusterSize"})
    public static final class Config extends Structure {

        public long size = 24;
        public int magic = 0xcafebeef, version = OLDEST, blocking = 0;

        /** Of version 2.17, in what is padding before it: not defined. */
        public int cgaClusterSize = Integer.MIN_VALUE;
    }

    /** The functions of its C header. */
    interface Calls extends Library {

        int ncclGetVersion(IntByReference version);

        int ncclGetUniqueId(Id id);

        int ncclCommInitRankConfig(PointerByReference comm, int size, Id.ByValue id, int rank, Config config);

        int ncclCommGetAsyncError(Pointer comm, IntByReference result);

        int ncclCommFinalize(Pointer comm);

        int ncclCommDestroy(Pointer comm);

        int ncclCommAbort(Pointer comm);

        int ncclGroupStart();

        int ncclGroupEnd();

        int ncclSend(Pointer from, long count, int type, int peer, Pointer comm, Pointer stream);

        int ncclRecv(Pointer into, long count, int type, int peer, Pointer comm, Pointer stream);

        String ncclGetErrorString(int result);

        String ncclGetLastError(Pointer comm);
    }

    /** The library that the property kudari.nccl names, or else the one that the dynamic linker finds. */
    static Nccl load() {
        return load(System.getProperty("kudari.nccl", NAME));
    }

    /** @throws Unavailable if it cannot be loaded, or is too old */
    static Nccl load(String file) {
        Calls calls;
        IntByReference version = new IntByReference();
        try {
            calls = Native.load(file, Calls.class);
            calls.ncclGetVersion(version);
        } catch (LinkageError e) {
            String reason = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
            throw new Unavailable("no NCCL (" + file + "): " + reason + "; " + MEND);
        }
        if (version.getValue() < OLDEST)
            throw new Unavailable("NCCL (" + file + "): expected version " + text(OLDEST) + " or later, got "
                    + text(version.getValue()) + "; " + MEND);
        return new Nccl(calls, version.getValue());
    }

    /** As in {@code 2.23.4}, which is 22304; before 2.9 it was 2804 for 2.8.4. */
    static String text(int version) {
        int unit = version < 10000 ? 1000 : 10000;
        return version / unit + "." + version % unit / 100 + "." + version % 100;
    }

    /** What a result means, with what the library has to say of the last one. */
    String text(int result, Pointer comm) {
        String last = calls.ncclGetLastError(comm);
        return calls.ncclGetErrorString(result)
                + (last == null || last.isBlank() ? "" : " (" + last.strip() + ")")
                + (result == INVALID_USAGE ? "; every rank needs a GPU of its own" : "");
    }
}
