package kudari;

import java.nio.charset.StandardCharsets;

/** Lets tests of other packages load NVRTC as the library does. */
public final class NvrtcDoor {

    private NvrtcDoor() {}

    /** Finds and loads it, or throws. */
    public static void load() {
        Nvrtc.load();
    }

    /** The PTX of a kernel file of the library's, such as {@code adam.cu}. */
    public static String ptx(String file) {
        byte[] code =
                Nvrtc.compile(Nvrtc.Source.of(file), Nvrtc.options(75, true)).code();
        return new String(code, StandardCharsets.UTF_8);
    }
}
