package kudari;

/** The engine that the tests run on: {@code -Dkudari.device=cpu|cuda[:N]|soft}, the CPU where nothing is said. */
public final class Engines {

    private static final String DEVICE = System.getProperty("kudari.device", "cpu");

    static {
        System.out.println("kudari.device=" + DEVICE + ": tests run on " + describe());
    }

    private Engines() {}

    /** Opens it, or fails: a device that was asked for and is missing is never replaced by another. */
    public static Engine open() {
        if (DEVICE.equals("cpu")) return Engine.cpu();
        if (DEVICE.equals("cuda")) return hardware(Engine.cuda(0));
        if (DEVICE.equals("soft")) return software(Engine.cuda(0));
        if (DEVICE.matches("cuda:\\d+")) return hardware(Engine.cuda(Integer.parseInt(DEVICE.substring(5))));
        throw new IllegalArgumentException("kudari.device: expected cpu, cuda, cuda:N or soft, got " + DEVICE);
    }

    /** Whether that is a CUDA device. */
    public static boolean onCuda() {
        return !DEVICE.equals("cpu");
    }

    /** Whether that is the GPU in software. */
    static boolean onSoftware() {
        return DEVICE.equals("soft");
    }

    private static Engine hardware(Engine engine) {
        return expect(engine, !isSoftware(engine));
    }

    private static Engine software(Engine engine) {
        return expect(engine, isSoftware(engine));
    }

    private static boolean isSoftware(Engine engine) {
        return engine.toString().contains("software");
    }

    private static Engine expect(Engine engine, boolean right) {
        if (right) return engine;
        engine.close();
        throw new IllegalStateException("kudari.device=" + DEVICE + ": got " + engine);
    }

    private static String describe() {
        try (Engine engine = open()) {
            return engine.toString();
        } catch (RuntimeException e) {
            return "nothing: " + e.getMessage();
        }
    }
}
