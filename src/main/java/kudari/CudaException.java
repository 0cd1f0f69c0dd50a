package kudari;

import static jcuda.driver.JCudaDriver.cuGetErrorName;

import java.util.function.IntFunction;
import jcuda.driver.CUresult;
import jcuda.jcublas.cublasStatus;

/** A call of the CUDA driver, of NVRTC or of cuBLAS that failed: which call, with what, and what to do about it. */
public final class CudaException extends RuntimeException {

    private static final long serialVersionUID = 1;

    /** Beyond the codes of the driver. */
    private static final int CODES = 1000;

    /** What the driver says where it does not know what went wrong. */
    private static final int UNKNOWN = 999;

    private final String what, fix;

    /** A call of CUDA, which returns its code, or throws what JCuda throws once somebody has called its {@code setExceptionsEnabled}. */
    interface Call {

        /** Makes the call. */
        int run();
    }

    CudaException(String what) {
        this(what, "");
    }

    /**
     * The message is both.
     *
     * @param fix what to do about it; empty where we know nothing
     */
    CudaException(String what, String fix) {
        super(fix.isEmpty() ? what : what + "; " + fix);
        this.what = what;
        this.fix = fix;
    }

    /** What happened, without what to do about it. */
    String what() {
        return what;
    }

    /** What to do about it; empty where we know nothing. */
    String fix() {
        return fix;
    }

    /**
     * Throws if a call of the driver failed; for calls of your own, too.
     *
     * @param code what the call returned
     * @param call its name, and what it was about
     */
    public static void must(int code, String call) {
        if (code != 0) throw new CudaException(call + ": " + name(code), advice(code));
    }

    /**
     * Throws if a call of cuBLAS failed; for calls of your own, too.
     *
     * @param status what the call returned
     * @param call its name, and what it was about
     */
    public static void mustBlas(int status, String call) {
        if (status != 0) throw new CudaException(call + ": " + cublasStatus.stringFor(status));
    }

    /** As {@link #must(int, String)}, for a call that JCuda may have been told to throw from. */
    static void must(Call call, String what) {
        must(code(call), what);
    }

    /** What a call returned, or would have, if it throws. */
    static int code(Call call) {
        return code(call, CUresult::stringFor, UNKNOWN);
    }

    /** The same, where the codes have other names: JCuda's exception has that of its code for a message. */
    static int code(Call call, IntFunction<String> names, int unknown) {
        try {
            return call.run();
        } catch (jcuda.CudaException e) {
            return code(e, names, unknown);
        }
    }

    private static int code(jcuda.CudaException thrown, IntFunction<String> names, int unknown) {
        for (int code = 0; code < CODES; code++) if (names.apply(code).equals(thrown.getMessage())) return code;
        return unknown;
    }

    /** As {@link #mustBlas(int, String)}, for a call that JCuda may have been told to throw from. */
    static void mustBlas(Call call, String what) {
        try {
            mustBlas(call.run(), what);
        } catch (jcuda.CudaException e) {
            throw of(e, what);
        }
    }

    /**
     * The same failure where JCuda has been told to throw, by its {@code setExceptionsEnabled}; for calls of your own, too.
     *
     * @param thrown by JCuda
     * @param call its name, and what it was about
     */
    public static CudaException of(jcuda.CudaException thrown, String call) {
        return new CudaException(call + ": " + thrown.getMessage(), advice(code(thrown, CUresult::stringFor, UNKNOWN)));
    }

    private static String name(int code) {
        String[] name = new String[1];
        return cuGetErrorName(code, name) == 0 ? name[0] : "error " + code;
    }

    private static String advice(int code) {
        return switch (code) {
            case 2 -> "the device's memory is full: close what else uses it, or train with smaller tensors";
            case 3, 100 -> "no CUDA device is visible: see nvidia-smi and CUDA_VISIBLE_DEVICES";
            case 35 -> "the NVIDIA driver is too old: it must know CUDA 12.6 or later";
            case 46 -> "the device is busy or forbidden: see nvidia-smi for its compute mode";
            case 101 -> "there is no device of that number: see nvidia-smi";
            case 500 ->
                "there is nothing of this name: a kernel is extern \"C\", a rule's is STEP(name of its class in small letters, arrays)";
            case 802 -> "the machine's GPUs are not ready yet: see whether NVIDIA's fabric manager runs";
            case 803, 804 -> "the driver's library and its kernel module do not match: restart after a driver's update";
            case 214, 700, 702, 710, 714, 715, 716, 717, 718, 719 ->
                "the device has lost its context: nothing on it can be read any more, start again";
            default -> "";
        };
    }
}
