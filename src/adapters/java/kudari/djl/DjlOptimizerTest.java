package kudari.djl;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.engine.Engine;
import org.junit.jupiter.api.Test;

class DjlOptimizerTest {
    @Test
    void theEngineIsPyTorch() {
        assertEquals("PyTorch", Engine.getInstance().getEngineName());
    }
}
