package kudari;

/** Lets tests of other packages load NVRTC as the library does. */
public final class NvrtcDoor {

    private NvrtcDoor() {}

    /** Finds and loads it, or throws. */
    public static void load() {
        Nvrtc.load();
    }
}
